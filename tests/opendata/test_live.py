"""The real services, for people with a network: BUURTSAE_LIVE=1 python -m pytest -m live."""

from __future__ import annotations

import os

import pytest

from buurtsae.opendata.live import TRIED, tried
from buurtsae.opendata.registry import Registry


@pytest.mark.live
@pytest.mark.skipif("BUURTSAE_LIVE" not in os.environ, reason="asks real services: set BUURTSAE_LIVE=1")
@pytest.mark.parametrize("what", TRIED)
def test_the_service_answers_as_expected(what: str) -> None:
    (one,) = tried([what], Registry.load(), 2024)
    assert one.ok, one.message
