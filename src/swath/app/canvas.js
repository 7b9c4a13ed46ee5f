// A scene with maps over it, in panels that move together. All that is drawn is in pixels of the scene.
const views = new WeakMap(); // what is shown, by the element that Streamlit draws it in

const surface = (width, height) => Object.assign(document.createElement("canvas"), { width, height });
const made = (parent, tag, className = "", more = {}) => {
  const element = Object.assign(document.createElement(tag), more);
  if (className) element.className = className;
  parent.appendChild(element);
  return element;
};

class View {
  constructor(root) {
    this.root = root;
    this.state = { opacity: 0.6, zoom: 1, x: 0.5, y: 0.5, confidence: false, hatch: true };
    this.panels = [];
    this.pictures = new Map(); // by address
    this.chosen = null; // class of the next click
    this.clicks = []; // that Python has not answered yet
    this.held = new Map(); // pointers that are down, and where
    this.find = (selector) => root.querySelector(selector);
    this.find(".opacity input").addEventListener("input", (event) => { this.state.opacity = Number(event.target.value) / 100; this.redraw(); });
    for (const radio of root.querySelectorAll(".shown input")) radio.addEventListener("change", () => { this.state.confidence = this.find(".shown input[value=confidence]").checked; this.paint(); });
    this.find(".hatch input").addEventListener("change", (event) => { this.state.hatch = event.target.checked; this.redraw(); });
    this.sizes = new ResizeObserver(() => this.fill());
    this.sizes.observe(this.find(".stage").parentElement);
  }

  // New data from Python: panels are kept as long as there are as many of them.
  async show({ data, setStateValue }) {
    this.data = data;
    this.send = setStateValue;
    this.clicks = this.clicks.filter((one) => one[0] > data.answered);
    const stage = this.find(".stage");
    while (this.panels.length > data.panels.length) this.panels.pop().outer.remove();
    while (this.panels.length < data.panels.length) this.panels.push(this.panel(stage));
    this.panels.forEach((panel, number) => {
      const shown = data.panels[number];
      panel.title.textContent = shown.title;
      panel.view.setAttribute("aria-label", data.panels.length > 1 ? `${data.label}: ${shown.title}` : data.label);
    });
    const maps = data.panels.some((panel) => panel.map.length);
    this.find(".opacity").hidden = this.find(".shown").hidden = !maps;
    this.find(".hatch").hidden = !data.panels.some((panel) => panel.ood);
    this.offer();
    this.say();
    this.fill();
    const wanted = [...data.scene, ...data.panels.flatMap((panel) => panel.map)].map((one) => one.url);
    for (const url of this.pictures.keys()) if (!wanted.includes(url)) this.pictures.delete(url);
    await Promise.all(wanted.map((url) => this.load(url)));
    if (this.data !== data) return; // newer data have come meanwhile
    this.paint();
    this.root.querySelector(".canvas").dataset.ready = "yes";
  }

  // The class of the next click is chosen here, so that a click and its class are never apart.
  offer() {
    const { classes, choose } = this.data, box = this.find(".classes");
    box.hidden = !classes.length;
    if (choose && choose[1] > (this.told || 0)) {
      this.told = choose[1];
      this.choose(choose[0]);
    }
    if (!classes.some((one) => one.name === this.chosen)) this.chosen = null;
    const wanted = JSON.stringify(classes);
    if (wanted !== this.offered) {
      this.offered = wanted;
      box.replaceChildren();
      made(box, "legend", "", { textContent: "What is at the places you click?" });
      for (const { name, color } of classes) {
        const label = made(box, "label"), radio = made(label, "input", "", { type: "radio", name: "class", value: name });
        made(label, "i").style.background = `#${color}`;
        made(label, "span", "", { textContent: name });
        radio.addEventListener("change", () => this.choose(name));
      }
    }
    for (const radio of box.querySelectorAll("input")) radio.checked = radio.value === this.chosen;
  }
  choose(name) {
    this.chosen = name;
    this.find(".classes").classList.remove("missing");
    this.send("chosen", name);
    this.say();
  }
  say() {
    const { clicking, classes } = this.data;
    const what = !classes.length ? clicking : this.chosen ? `Click where there is ${this.chosen}.` : "Choose a class above, then click places of it.";
    this.find(".keys").textContent = `${what} Drag to move; the wheel, two fingers or + and \u2212 zoom, 0 shows all. With the keyboard: arrow keys move, Enter clicks at the cross.`;
  }

  async load(url) {
    if (this.pictures.has(url)) return;
    const image = new Image();
    this.pictures.set(url, image);
    image.src = url;
    try { await image.decode(); } catch { this.pictures.delete(url); } // it has been replaced meanwhile
  }

  panel(stage) {
    const outer = made(stage, "div"), title = made(outer, "div", "title"), box = made(outer, "div", "panel");
    const view = made(box, "div", "view", { tabIndex: 0 });
    view.setAttribute("role", "application");
    view.place = ({ column, row }) => { // where a pixel of the scene is now, for who drives the page
      const { left, top, size } = this.place();
      return [left + column * size, top + row * size * this.data.aspect];
    };
    const panel = { outer, box, view, canvas: made(view, "canvas"), title, layers: [] };
    made(box, "span", "cross").setAttribute("aria-hidden", "true");
    panel.bar = made(box, "div", "bar", { hidden: true });
    panel.length = [made(panel.bar, "span"), made(panel.bar, "i")];
    const buttons = made(box, "div", "buttons");
    for (const [text, name, act] of [["+", "Zoom in", () => this.zoomTo(this.state.zoom * 1.5)], ["\u2212", "Zoom out", () => this.zoomTo(this.state.zoom / 1.5)], ["all", "All of the scene", () => this.all()]]) {
      const button = made(buttons, "button", text === "all" ? "all" : "", { type: "button", textContent: text });
      button.setAttribute("aria-label", name);
      button.addEventListener("click", act);
    }
    this.listen(view);
    return panel;
  }

  listen(view) {
    const where = (event) => { const box = view.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    const middle = () => {
      const at = [...this.held.values()], mean = (k) => at.reduce((sum, one) => sum + one[k], 0) / at.length;
      return { x: mean(0), y: mean(1), apart: at.length > 1 ? Math.hypot(at[0][0] - at[1][0], at[0][1] - at[1][1]) : 0 };
    };
    let pressed = null; // where a click may have begun
    view.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.held.set(event.pointerId, where(event));
      pressed = this.held.size === 1 ? where(event) : null;
      view.setPointerCapture(event.pointerId);
    });
    view.addEventListener("pointermove", (event) => {
      const at = where(event);
      if (pressed && Math.hypot(at[0] - pressed[0], at[1] - pressed[1]) > (event.pointerType === "touch" ? 10 : 4)) pressed = null;
      if (this.held.has(event.pointerId) && !pressed) {
        view.classList.add("moving");
        const before = middle();
        this.held.set(event.pointerId, at);
        const after = middle();
        this.move(after.x - before.x, after.y - before.y);
        if (before.apart > 0 && after.apart > 0) this.zoomTo(this.state.zoom * after.apart / before.apart, after.x, after.y);
      }
      this.pointer = event.pointerType === "mouse" ? at : null;
      this.read(...at);
      this.redraw();
    });
    const up = (event) => {
      this.held.delete(event.pointerId);
      if (!this.held.size) view.classList.remove("moving");
    };
    view.addEventListener("pointerup", (event) => {
      if (pressed && this.held.has(event.pointerId)) this.click(...pressed);
      pressed = null;
      up(event);
    });
    view.addEventListener("pointercancel", (event) => { pressed = null; up(event); });
    view.addEventListener("pointerleave", () => { this.pointer = null; this.redraw(); });
    view.addEventListener("wheel", (event) => {
      if (event.deltaY > 0 && this.state.zoom <= 1) return; // the page scrolls on
      event.preventDefault();
      this.zoomTo(this.state.zoom * Math.exp(-Math.max(-100, Math.min(100, event.deltaY)) / 300), ...where(event));
    }, { passive: false });
    view.addEventListener("keydown", (event) => {
      const step = 0.1 * Math.min(this.width, this.height), center = [this.width / 2, this.height / 2];
      const click = () => this.click(...center);
      const act = { ArrowLeft: () => this.move(step, 0), ArrowRight: () => this.move(-step, 0), ArrowUp: () => this.move(0, step), ArrowDown: () => this.move(0, -step), "+": () => this.zoomTo(this.state.zoom * 1.5), "=": () => this.zoomTo(this.state.zoom * 1.5), "-": () => this.zoomTo(this.state.zoom / 1.5), 0: () => this.all(), Enter: click, " ": click }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation(); // single letters and signs are Streamlit's, too
      act();
      this.read(...center);
    });
  }

  // The scene in the shape it has on the ground: columns are as they are, rows are stretched.
  get wide() { return this.data.width; }
  get tall() { return this.data.height * this.data.aspect; }
  get base() { return Math.min(this.width / this.wide, this.height / this.tall); }
  get most() { return Math.max(8, 24 / this.base); }
  scale() { return this.base * this.state.zoom; }

  place() {
    const size = this.scale(), state = this.state;
    // What is smaller than the window stays in its middle; what is larger fills it, and half a window more, so that
    // the keyboard's cross reaches the edges.
    const kept = (at, length, room, zoom) => (zoom > 1 ? Math.min(Math.max(at, 0), 1) : 0.5);
    state.x = kept(state.x, this.wide, this.width, state.zoom);
    state.y = kept(state.y, this.tall, this.height, state.zoom);
    return { left: this.width / 2 - state.x * this.wide * size, top: this.height / 2 - state.y * this.tall * size, size };
  }

  // Column and row of the scene under a point of a panel; null outside.
  at(x, y) {
    const { left, top, size } = this.place(), column = (x - left) / size, row = (y - top) / size / this.data.aspect;
    return column >= 0 && row >= 0 && column < this.data.width && row < this.data.height ? [column, row] : null;
  }

  click(x, y) {
    const at = this.at(x, y);
    if (!at) return;
    if (this.data.classes.length && !this.chosen) {
      this.find(".classes").classList.add("missing");
      this.find(".readout").textContent = "Choose a class first: then a click says that the place is of it.";
      return;
    }
    this.last = Math.max(Date.now(), (this.last || 0) + 1, this.data.answered + 1);
    this.clicks.push([this.last, ...at, this.chosen]);
    this.send("clicks", this.clicks);
    this.redraw();
  }

  zoomTo(zoom, x = this.width / 2, y = this.height / 2) {
    const before = this.place();
    this.state.zoom = Math.min(Math.max(zoom, 1), this.most);
    const after = this.scale();
    // The point under the pointer stays under it.
    this.state.x = ((x - before.left) / before.size - (x - this.width / 2) / after) / this.wide;
    this.state.y = ((y - before.top) / before.size - (y - this.height / 2) / after) / this.tall;
    this.moved();
  }
  move(x, y) { const size = this.scale(); this.state.x -= x / size / this.wide; this.state.y -= y / size / this.tall; this.moved(); }
  all() { Object.assign(this.state, { zoom: 1, x: 0.5, y: 0.5 }); this.moved(); }

  // Of a scene that is larger than its picture, Python gives the part in view with all of its pixels.
  moved() {
    this.redraw();
    const { width, height, longest } = this.data;
    if (Math.max(width, height) <= longest) return;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      const { left, top, size } = this.place(), tall = size * this.data.aspect;
      const [x, y] = [Math.max(0, Math.floor(-left / size)), Math.max(0, Math.floor(-top / tall))];
      const [right, bottom] = [Math.min(width, Math.ceil((this.width - left) / size)), Math.min(height, Math.ceil((this.height - top) / tall))];
      const box = [x, y, right - x, bottom - y];
      if (Math.max(box[2], box[3]) > longest || JSON.stringify(box) === JSON.stringify(this.box)) return;
      this.box = box;
      this.send("view", box);
    }, 400);
  }

  // Classes or confidence as colors, from the values that Python gives.
  paint() {
    this.panels.forEach((panel, number) => {
      const shown = this.data.panels[number];
      panel.layers = shown.map.map(({ url, box }) => {
        const image = this.pictures.get(url);
        if (!image || !image.naturalWidth) return null;
        const [columns, rows] = [image.naturalWidth, image.naturalHeight];
        const reader = surface(columns, rows).getContext("2d", { willReadFrequently: true });
        reader.drawImage(image, 0, 0);
        const values = reader.getImageData(0, 0, columns, rows).data;
        const colors = new ImageData(columns, rows), marks = new ImageData(columns, rows);
        for (let at = 0; at < values.length; at += 4) {
          const value = values[at], color = value && (this.state.confidence ? this.data.ramp[values[at + 1]] : shown.colors[value]);
          if (!color) continue;
          [colors.data[at], colors.data[at + 1], colors.data[at + 2]] = color;
          colors.data[at + 3] = 255;
          if (values[at + 2] === 1) marks.data[at + 3] = 255;
        }
        const [painted, marked] = [surface(columns, rows), surface(columns, rows)];
        painted.getContext("2d").putImageData(colors, 0, 0);
        marked.getContext("2d").putImageData(marks, 0, 0);
        return { box, columns, rows, values, painted, marked };
      }).filter(Boolean);
    });
    this.redraw();
  }

  read(x, y) {
    const at = this.at(x, y), output = this.find(".readout");
    if (!at) { output.textContent = ""; return; }
    const parts = this.panels.map((panel, number) => {
      const layer = panel.layers[0], shown = this.data.panels[number];
      if (!layer) return "";
      const i = 4 * (Math.min(Math.floor(at[1] / this.data.height * layer.rows), layer.rows - 1) * layer.columns + Math.min(Math.floor(at[0] / this.data.width * layer.columns), layer.columns - 1));
      const value = layer.values[i];
      const text = value ? `${shown.names[value]}, ${layer.values[i + 1]} %${layer.values[i + 2] === 1 ? ", unlike the training data" : ""}` : "no data";
      return this.panels.length > 1 ? `${shown.title}: ${text}` : text;
    }).filter(Boolean);
    const half = this.data.window / 2, near = this.data.markers.find((one) => one.name && Math.hypot(one.at[0] - at[0], one.at[1] - at[1]) < half);
    if (near) parts.unshift(`place ${near.text}: ${near.name}`);
    output.textContent = [...parts, `column ${Math.floor(at[0])}, row ${Math.floor(at[1])}`].join(" \u00b7 ");
  }

  lines(ratio) {
    const side = Math.round(9 * ratio), tile = surface(side, side), pen = tile.getContext("2d");
    for (const [color, thick] of [["rgb(0 0 0 / 55%)", 3], ["#fff", 1.5]]) {
      pen.strokeStyle = color;
      pen.lineWidth = thick * ratio;
      pen.beginPath();
      for (const shift of [-side, 0, side]) { pen.moveTo(shift - side, side * 2); pen.lineTo(shift + side * 2, -side); }
      pen.stroke();
    }
    return tile;
  }

  redraw() { if (!this.drawing) { this.drawing = true; requestAnimationFrame(() => { this.drawing = false; this.draw(); }); } }

  draw() {
    if (!this.data || !this.width) return;
    const ratio = window.devicePixelRatio || 1, { left, top, size } = this.place(), aspect = this.data.aspect;
    const onto = ([x, y, w, h]) => [(left + x * size) * ratio, (top + y * size * aspect) * ratio, w * size * ratio, h * size * aspect * ratio];
    for (const panel of this.panels) {
      const { canvas } = panel, pen = canvas.getContext("2d");
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
      for (const { url, box } of this.data.scene) {
        const image = this.pictures.get(url);
        if (!image || !image.naturalWidth) continue;
        pen.imageSmoothingEnabled = size * ratio < 3;
        pen.imageSmoothingQuality = "high";
        pen.drawImage(image, ...onto(box));
      }
      for (const layer of panel.layers) {
        pen.save();
        if (layer === panel.layers[0] && panel.layers[1]) { // where there are all pixels they replace the coarser map
          pen.beginPath();
          pen.rect(0, 0, canvas.width, canvas.height);
          pen.rect(...onto(panel.layers[1].box));
          pen.clip("evenodd");
        }
        pen.globalAlpha = this.state.opacity;
        pen.imageSmoothingEnabled = false;
        pen.drawImage(layer.painted, ...onto(layer.box));
        pen.restore();
        if (!this.state.hatch || layer !== panel.layers[0]) continue;
        const sheet = surface(canvas.width, canvas.height), ink = sheet.getContext("2d");
        ink.imageSmoothingEnabled = false;
        ink.drawImage(layer.marked, ...onto(layer.box));
        ink.globalCompositeOperation = "source-in";
        ink.fillStyle = ink.createPattern(this.lines(ratio), "repeat");
        ink.fillRect(0, 0, sheet.width, sheet.height);
        pen.drawImage(sheet, 0, 0);
      }
      this.mark(pen, ratio, onto);
      this.measure(panel, size);
      panel.view.style.touchAction = this.state.zoom > 1 ? "none" : "pan-y";
    }
  }

  // Places: the window that the model sees, and a numbered disk in the color of the class.
  mark(pen, ratio, onto) {
    const side = this.data.window, frame = ([x, y], alpha) => {
      const box = onto([x - side / 2, y - side / 2, side, side]);
      for (const [color, thick] of [[`rgb(0 0 0 / ${alpha}%)`, 3], [`rgb(255 255 255 / ${alpha}%)`, 1.2]]) {
        pen.strokeStyle = color;
        pen.lineWidth = thick * ratio;
        pen.strokeRect(...box);
      }
    };
    if (this.pointer && !this.held.size) { const at = this.at(...this.pointer); if (at) frame(at, 70); }
    const waiting = this.clicks.map(([, column, row]) => ({ text: "", at: [column, row], color: null }));
    for (const { text, at, color, current } of [...this.data.markers, ...waiting]) {
      frame(at, 100);
      const [x, y] = onto([...at, 0, 0]), radius = (current ? 17 : 12) * ratio, parts = color ? color.match(/../g).map((hex) => parseInt(hex, 16)) : [255, 255, 255];
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fillStyle = `rgb(${parts.join(" ")})`;
      pen.fill();
      pen.lineWidth = 4 * ratio;
      pen.strokeStyle = "#000";
      pen.stroke();
      pen.lineWidth = 2 * ratio;
      pen.strokeStyle = "#fff";
      pen.setLineDash(color ? [] : [3 * ratio, 3 * ratio]); // not named yet
      pen.stroke();
      pen.setLineDash([]);
      const bright = 0.299 * parts[0] + 0.587 * parts[1] + 0.114 * parts[2] > 140;
      pen.fillStyle = bright ? "#000" : "#fff";
      pen.font = `600 ${radius}px system-ui, sans-serif`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(text, x, y + 0.5 * ratio);
    }
  }

  measure(panel, size) {
    panel.bar.hidden = !this.data.meters;
    if (!this.data.meters) return;
    const longest = Math.min(140, this.width / 3) * this.data.meters / size, power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].find((factor) => factor * power <= longest) * power;
    panel.length[0].textContent = length >= 1000 ? `${length / 1000} km` : `${Number(length.toPrecision(1))} m`;
    panel.length[1].style.width = `${length / this.data.meters * size}px`;
  }

  fill() {
    if (!this.data || !this.panels.length) return;
    const stage = this.find(".stage"), room = stage.clientWidth, many = this.panels.length;
    const columns = many > 1 && room >= 640 ? many : 1, gap = 8;
    stage.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const wide = (room - gap * (columns - 1)) / columns, most = Math.max(280, window.innerHeight * (columns < many ? 0.55 : 0.75));
    const high = Math.round(Math.min(Math.max(wide * this.tall / this.wide, 240), most));
    for (const panel of this.panels) panel.box.style.height = `${high}px`;
    [this.width, this.height] = [Math.max(this.panels[0].view.clientWidth, 1), Math.max(this.panels[0].view.clientHeight, 1)];
    this.redraw();
  }
}

export default function (component) {
  const root = component.parentElement;
  if (!views.has(root)) views.set(root, new View(root));
  views.get(root).show(component);
}
