"""The appearance model of the miniature: a small CLIP in open_clip's format, trained on single frames and captions."""
