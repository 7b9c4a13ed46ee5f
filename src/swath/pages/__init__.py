"""The one HTML engine, with the figures and the wording that every page, message and terminal shares.

A ground room: it knows no model and no data set. :mod:`swath.pages.html` writes a self-contained page from
sections, :mod:`swath.pages.charts` draws charts as SVG, :mod:`swath.pages.figures` makes patches visible, and
:mod:`swath.pages.text` words numbers and names (which
needs neither Jinja nor matplotlib, so that every room can afford it).
"""
