//! Builds, stores and verifies guest images made of Debian packages.
