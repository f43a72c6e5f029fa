"""The commit section: what happens after the final dot, whoever is still there to hear of it."""

from __future__ import annotations

import logging

from relay.model import Submission
from relay.ports import ContentProblem, DiskFull, StoreTrouble
from relay.smtp import reply
from relay.smtp.front import Front
from relay.smtp.limits import Hold
from relay.smtp.reply import Reply

log = logging.getLogger("relay.smtp")

_RESULTS = {2: "accepted", 4: "deferred", 5: "refused"}


async def accept(front: Front, submission: Submission, hold: Hold) -> Reply:
    """Have one submission judged and stored; returns the reply, and raises nothing.

    Runs in a task of its own, so that neither a client that leaves nor a deadline can cut it in
    half. Gives ``hold`` back and counts the message, also when nobody waits any more.
    """
    began = front.clock.monotonic()
    message_id, listener = submission.id, submission.client.listener
    accepting = front.door.accept(submission)
    # The raw octets are the door's alone now, to drop as soon as it has normalised them.
    del submission
    try:
        answer = reply.fold(await accepting, front.public_url)
    except ContentProblem as refused:
        answer = reply.content_problem(refused.problem)
    except DiskFull:
        log.error("%s: no room to store mail", message_id)
        answer = reply.DISK_FULL
    except StoreTrouble as trouble:
        log.error("%s: store trouble: %s", message_id, trouble)
        answer = reply.trouble(message_id)
    except Exception:
        # A fault of ours must not turn mail away for good, whatever it is.
        log.exception("%s: accepting failed", message_id)
        answer = reply.trouble(message_id)
    finally:
        hold.release()
    observe(front, listener, answer, front.clock.monotonic() - began)
    return answer


def observe(front: Front, listener: str, answer: Reply, seconds: float) -> None:
    """Count a message by the class of its reply."""
    front.observer.message(listener, _RESULTS[answer.code // 100], seconds)
