"""The chain of events per tenant, its signed heads, its verification, and the proofs made of it."""
