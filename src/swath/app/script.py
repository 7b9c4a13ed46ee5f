"""What Streamlit runs for every view: the pages, and the one that is chosen."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from swath.app import assess, classify, data, map, model, opinion, teach
from swath.app.session import warm_up

st.set_page_config(page_title="swath", page_icon=Image.new("RGB", (32, 32), (23, 97, 124)), layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 4.25rem; } "  # less air above on a phone
    # Streamlit's small print is too pale to be read by everybody.
    "[data-testid='stCaptionContainer'] { color: inherit; opacity: .8; }</style>"
)
pages = [
    st.Page(
        classify.page, title="Classify pictures", icon=":material/image_search:", url_path="classify", default=True
    ),
    st.Page(map.page, title="Map a scene", icon=":material/map:", url_path="map"),
    st.Page(teach.page, title="Teach it", icon=":material/school:", url_path="teach"),
    st.Page(assess.page, title="Check a map", icon=":material/fact_check:", url_path="assess"),
    st.Page(data.page, title="Check pictures", icon=":material/photo_library:", url_path="data"),
    st.Page(opinion.page, title="Second opinion", icon=":material/forum:", url_path="opinion"),
    st.Page(model.page, title="Model", icon=":material/monitoring:", url_path="model"),
]
page = st.navigation(pages, position="hidden")
with st.container(horizontal=True, key="pages"):  # in view on a phone, too
    for one in pages:
        st.page_link(one)
page.run()
warm_up()
