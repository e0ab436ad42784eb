"""What the teaching notebooks compute: pure functions whose numbers `plots` draws."""
