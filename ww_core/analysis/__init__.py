"""Use cases: resolve a source, digest it, plan, compute, record, answer. The one place where plugins meet the store."""
