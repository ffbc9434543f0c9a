//! Tables of texts and the facts in them.
