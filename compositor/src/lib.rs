//! Scene, frames, damage, painters, input routing and trusted UI.
