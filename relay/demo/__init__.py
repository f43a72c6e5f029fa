"""``consent-relay demo``: the whole product in one command, on real SMTP, with nothing set up."""
