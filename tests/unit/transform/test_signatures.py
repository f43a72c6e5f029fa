import pytest

from relay.transform.headers import HeaderBlock
from relay.transform.signatures import without_broken

HEADER = (
    b"DKIM-Signature: v=1; d=one.example; h=From : To:\r\n\tDate; bh=hash=; b=sig\r\n"
    b"DKIM-Signature: v=1; d=two.example; bh=h=to; b=x;\r\n h=from:list-unsubscribe\r\n"
    b"From: a@one.example\r\n\r\n"
)


def domains(block: HeaderBlock) -> list[bytes]:
    return [value.split(b"d=")[1].split(b";")[0] for value in block.get("dkim-signature")]


@pytest.mark.parametrize(
    ("touched", "left"),
    [
        (set(), [b"one.example", b"two.example"]),
        ({"bcc"}, [b"one.example", b"two.example"]),
        ({"date"}, [b"two.example"]),
        ({"list-unsubscribe"}, [b"one.example"]),
        ({"from"}, []),
    ],
)
def test_a_signature_goes_when_it_covers_what_was_touched(touched, left):
    block = without_broken(HeaderBlock.parse(HEADER), touched)
    assert domains(block) == left
    assert block.get("from") == (b"a@one.example",)


def test_a_signature_whose_coverage_cannot_be_read_goes_with_any_change():
    block = HeaderBlock.parse(b"DKIM-Signature: v=1; b=x\r\nFrom: a@b.example\r\n\r\n")
    assert without_broken(block, set()) == block
    assert without_broken(block, {"bcc"}).get("dkim-signature") == ()
