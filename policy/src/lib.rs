//! The policy language, its verdicts and the audit chain.
