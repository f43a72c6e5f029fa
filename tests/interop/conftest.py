"""The same relay in front of software that is not ours."""

from tests.e2e.conftest import make_relay, template

__all__ = ["make_relay", "template"]
