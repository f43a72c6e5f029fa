import pytest

from relay.transform.sign import generate_key


@pytest.fixture(scope="session")
def pem() -> bytes:
    """One RSA-2048 key for the whole run: making one takes long."""
    return generate_key()
