"""The service: models behind HTTP, from one process that batches requests together and lets others decode.

``server.serve`` runs it, and ``app.make_app`` makes the application alone, for another ASGI server. A request goes one
way: ``intake`` reads its body within limits, ``decoding`` has its images decoded in processes that may die,
``batching`` hands the engine the images of many requests at a time, ``app`` answers. Maps are ``jobs``, each in a
process of its own, and ``tiles`` shows them on web maps. All but those processes need the ``app`` extra; this file
imports nothing, because they import it too.
"""
