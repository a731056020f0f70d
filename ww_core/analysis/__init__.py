"""Use cases: resolve a source, digest it, plan, compute, record, answer. The only place where plugins meet the store."""
