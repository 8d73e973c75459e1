"""The record of a run: the stream of requests, the ledger, the summary, and how a run goes on."""
