"""Pipelines: the whole path in one call. Wiring only: every step is a public function of its room.

:func:`demo` shows what a finished model does, without any training library; :func:`quickstart` goes all
the way from patches to a map. Both leave one folder whose ``index.html`` links everything.
:func:`find_suspects` lists patches whose label is probably wrong.
"""

from __future__ import annotations

from swath.pipelines.demo import demo
from swath.pipelines.quickstart import quickstart
from swath.pipelines.show import Shown
from swath.pipelines.suspects import find_suspects

__all__ = ["Shown", "demo", "find_suspects", "quickstart"]
