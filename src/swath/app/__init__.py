"""A web page for people who do not type commands: pictures classified and explained, scenes mapped.

:func:`swath.app.server.serve` starts Streamlit on this machine; ``script.py`` is what it runs for every view of a page.
Each page has a file: ``classify.py`` shows what ``answers.py`` finds, ``map.py`` what a ``map_job.py`` makes.
``session.py`` holds what one visitor has uploaded and made, which nobody else sees and which goes when they leave.
"""
