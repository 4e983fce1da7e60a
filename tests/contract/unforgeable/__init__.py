"""The tables of test_unforgeable.py, and what runs them."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(f"{__name__}.bench")
