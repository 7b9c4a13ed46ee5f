"use strict";
(async () => {
  const element = (id) => document.getElementById(id);
  const facts = JSON.parse(element("facts").textContent);
  const scene = element("scene-picture"), values = element("map-values");
  await Promise.all([scene.decode(), values.decode()]);

  // Red holds the class, green the confidence, blue 1 where the ground is unlike the training data.
  const columns = values.naturalWidth, rows = values.naturalHeight;
  const surface = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
  const reader = surface(columns, rows).getContext("2d", { willReadFrequently: true });
  reader.drawImage(values, 0, 0);
  const pixels = reader.getImageData(0, 0, columns, rows).data;
  const painted = surface(columns, rows), marked = surface(columns, rows);

  const view = element("view"), canvas = element("canvas"), stage = element("stage");
  const state = { swipe: 50, opacity: Number(element("opacity").value) / 100, zoom: 1, x: 0.5, y: 0.5, confidence: false, hatch: facts.ood, hidden: new Set(facts.hidden) };
  const wide = columns, tall = rows * facts.aspect; // the map in the shape it has on the ground
  let width = 1, height = 1, waiting = false;

  const paint = () => {
    const image = new ImageData(columns, rows), hatched = new ImageData(columns, rows);
    for (let at = 0; at < pixels.length; at += 4) {
      const value = pixels[at];
      if (!value || state.hidden.has(value)) continue;
      const color = state.confidence ? facts.ramp[pixels[at + 1]] : facts.colors[value];
      if (!color) continue;
      [image.data[at], image.data[at + 1], image.data[at + 2]] = color;
      image.data[at + 3] = 255;
      if (pixels[at + 2] === 1) hatched.data[at + 3] = 255;
    }
    painted.getContext("2d").putImageData(image, 0, 0);
    marked.getContext("2d").putImageData(hatched, 0, 0);
    redraw();
  };

  const scale = () => Math.min(width / wide, height / tall) * state.zoom; // points of the screen for each of the map
  const place = () => {
    const size = scale();
    // What is smaller than the window stays in its middle; what is larger fills it.
    const kept = (at, length, room) => (length * size <= room ? 0.5 : Math.min(Math.max(at, room / 2 / size / length), 1 - room / 2 / size / length));
    state.x = kept(state.x, wide, width);
    state.y = kept(state.y, tall, height);
    return { left: width / 2 - state.x * wide * size, top: height / 2 - state.y * tall * size, size };
  };

  const lines = (ratio) => {
    const side = Math.round(9 * ratio), tile = surface(side, side), pen = tile.getContext("2d");
    for (const [color, thick] of [["rgb(0 0 0 / 55%)", 3], ["#fff", 1.5]]) {
      pen.strokeStyle = color;
      pen.lineWidth = thick * ratio;
      pen.beginPath();
      for (const shift of [-side, 0, side]) { pen.moveTo(shift - side, side * 2); pen.lineTo(shift + side * 2, -side); }
      pen.stroke();
    }
    return tile;
  };

  const draw = () => {
    waiting = false;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const { left, top, size } = place(), pen = canvas.getContext("2d");
    const box = [left * ratio, top * ratio, wide * size * ratio, tall * size * ratio];
    const cut = Math.round(canvas.width * state.swipe / 100);
    pen.imageSmoothingEnabled = size * ratio < 3;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(scene, ...box);
    pen.save();
    pen.beginPath();
    pen.rect(cut, 0, canvas.width - cut, canvas.height);
    pen.clip();
    pen.globalAlpha = state.opacity;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(painted, ...box);
    if (state.hatch) {
      const layer = surface(canvas.width, canvas.height), ink = layer.getContext("2d");
      ink.imageSmoothingEnabled = false;
      ink.drawImage(marked, ...box);
      ink.globalCompositeOperation = "source-in";
      ink.fillStyle = ink.createPattern(lines(ratio), "repeat");
      ink.fillRect(0, 0, layer.width, layer.height);
      pen.drawImage(layer, 0, 0);
    }
    pen.restore();
    if (facts.meters) {
      const longest = Math.min(140, width / 3) * facts.meters / size, power = 10 ** Math.floor(Math.log10(longest));
      const length = [5, 2, 1].find((factor) => factor * power <= longest) * power;
      element("bar").hidden = false;
      element("bar-text").textContent = length >= 1000 ? `${length / 1000} km` : `${Number(length.toPrecision(1))} m`;
      element("bar-length").style.width = `${length / facts.meters * size}px`;
    }
    view.style.touchAction = state.zoom > 1 ? "none" : "pan-y";
  };
  const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(draw); } };

  // What is where: x and y from 0 to 1 across the map.
  const describe = (x, y) => {
    if (!(x >= 0 && x < 1 && y >= 0 && y < 1)) return "";
    const at = 4 * (Math.floor(y * rows) * columns + Math.floor(x * columns)), value = pixels[at], parts = [];
    parts.push(value ? `${facts.names[value]}, ${pixels[at + 1]} % confident${pixels[at + 2] === 1 ? ", unlike the training data" : ""}` : "no data");
    if (facts.lonlat) {
      const last = facts.lonlat.length - 1, i = Math.min(Math.floor(y * last), last - 1), j = Math.min(Math.floor(x * last), last - 1);
      const v = y * last - i, u = x * last - j, [a, b] = [facts.lonlat[i], facts.lonlat[i + 1]];
      const [lon, lat] = [0, 1].map((k) => (1 - v) * ((1 - u) * a[j][k] + u * a[j + 1][k]) + v * ((1 - u) * b[j][k] + u * b[j + 1][k]));
      parts.push(`${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(5)}° ${lon < 0 ? "W" : "E"}`);
    }
    if (facts.crs && !facts.geographic) {
      const [column, row] = [x * facts.width, y * facts.height], [a, b, c, d, e, f] = facts.transform;
      parts.push(`${(a * column + b * row + c).toFixed(0)}, ${(d * column + e * row + f).toFixed(0)} (${facts.crs})`);
    } else if (!facts.crs) parts.push(`column ${Math.floor(x * facts.width)}, row ${Math.floor(y * facts.height)}`);
    return parts.join(" · ");
  };
  const read = (x, y) => {
    const { left, top, size } = place();
    element("readout").textContent = describe((x - left) / size / wide, (y - top) / size / tall);
  };

  const zoomTo = (zoom, x = width / 2, y = height / 2) => {
    const before = place(), most = Math.max(8, 24 / Math.min(width / wide, height / tall));
    state.zoom = Math.min(Math.max(zoom, 1), most);
    const after = scale();
    // The point under the pointer stays under it.
    state.x = ((x - before.left) / before.size - (x - width / 2) / after) / wide;
    state.y = ((y - before.top) / before.size - (y - height / 2) / after) / tall;
    redraw();
  };
  const move = (x, y) => { const size = scale(); state.x -= x / size / wide; state.y -= y / size / tall; redraw(); };
  const all = () => { Object.assign(state, { zoom: 1, x: 0.5, y: 0.5 }); redraw(); };

  const knob = element("swipe"), divider = element("divider");
  const swipe = (percent) => {
    state.swipe = Math.min(Math.max(percent, 0), 100);
    const at = width * state.swipe / 100, half = Math.min(knob.offsetWidth, width) / 2;
    divider.style.left = `${at}px`;
    knob.style.transform = `translateX(${Math.min(Math.max(at, half), width - half) - at}px)`; // never cut by the edges
    knob.setAttribute("aria-valuenow", Math.round(state.swipe));
    knob.setAttribute("aria-valuetext", `scene on the left ${Math.round(state.swipe)} %`);
    element("left").hidden = state.swipe < 8;
    element("right").hidden = state.swipe > 92;
    redraw();
  };
  divider.addEventListener("pointerdown", (event) => { divider.setPointerCapture(event.pointerId); knob.focus(); event.preventDefault(); });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = view.getBoundingClientRect();
    swipe(100 * (event.clientX - box.left) / box.width);
  });
  knob.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: state.swipe - 2, ArrowDown: state.swipe - 2, ArrowRight: state.swipe + 2, ArrowUp: state.swipe + 2, PageDown: state.swipe - 10, PageUp: state.swipe + 10, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    swipe(to);
  });

  const held = new Map(); // pointers that are down, and where
  const middle = () => { const at = [...held.values()], mean = (k) => at.reduce((sum, one) => sum + one[k], 0) / at.length; return { x: mean(0), y: mean(1), apart: at.length > 1 ? Math.hypot(at[0][0] - at[1][0], at[0][1] - at[1][1]) : 0 }; };
  const where = (event) => { const box = view.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  view.addEventListener("pointerdown", (event) => { held.set(event.pointerId, where(event)); view.setPointerCapture(event.pointerId); view.classList.add("moving"); });
  view.addEventListener("pointermove", (event) => {
    if (held.has(event.pointerId)) {
      const before = middle();
      held.set(event.pointerId, where(event));
      const after = middle();
      move(after.x - before.x, after.y - before.y);
      if (before.apart > 0 && after.apart > 0) zoomTo(state.zoom * after.apart / before.apart, after.x, after.y);
    }
    read(...where(event));
  });
  for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, (event) => { held.delete(event.pointerId); if (!held.size) view.classList.remove("moving"); });
  view.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && state.zoom <= 1) return; // the page scrolls on
    event.preventDefault();
    zoomTo(state.zoom * Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 300), ...where(event));
  }, { passive: false });
  view.addEventListener("dblclick", (event) => zoomTo(state.zoom * 2, ...where(event)));
  view.addEventListener("keydown", (event) => {
    const step = 0.1 * Math.min(width, height);
    const act = { ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step), ArrowDown: () => move(0, -step), "+": () => zoomTo(state.zoom * 1.5), "=": () => zoomTo(state.zoom * 1.5), "-": () => zoomTo(state.zoom / 1.5), 0: all }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    read(width / 2, height / 2);
  });
  element("in").addEventListener("click", () => zoomTo(state.zoom * 1.5));
  element("out").addEventListener("click", () => zoomTo(state.zoom / 1.5));
  element("fit").addEventListener("click", all);

  element("opacity").addEventListener("input", (event) => { state.opacity = Number(event.target.value) / 100; redraw(); });
  for (const name of ["classes", "confidence"]) element(`show-${name}`).addEventListener("change", () => {
    state.confidence = element("show-confidence").checked;
    element("ramp-box").hidden = !state.confidence;
    paint();
  });
  if (facts.ood) element("hatch").addEventListener("change", (event) => { state.hatch = event.target.checked; redraw(); });
  for (const box of document.querySelectorAll("input[data-value]")) {
    const update = () => { state.hidden[box.checked ? "delete" : "add"](Number(box.dataset.value)); };
    update(); // a browser that goes back to the page keeps what was ticked
    box.addEventListener("change", () => { update(); paint(); });
  }

  const fill = () => {
    const room = stage.parentElement.clientWidth, most = Math.max(280, window.innerHeight * 0.8);
    const high = Math.min(Math.max(room * tall / wide, 260), most);
    stage.style.height = `${Math.round(high)}px`;
    stage.style.width = `${Math.round(Math.min(room, Math.max(high * wide / tall, 280)))}px`;
    [width, height] = [Math.max(stage.clientWidth, 1), Math.max(stage.clientHeight, 1)];
    swipe(state.swipe);
  };
  new ResizeObserver(fill).observe(stage.parentElement);
  window.addEventListener("resize", fill);
  fill();
  paint();
  document.documentElement.dataset.ready = "yes";
})();
