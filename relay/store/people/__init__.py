"""What is on record about people: consents and opt-outs, requests, imports, notices shown."""
