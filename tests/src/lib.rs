//! Whole-system tests with stock guests and hostile zones.
