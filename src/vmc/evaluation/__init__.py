"""Videos of a test set made, scored and summed up: in training, afterwards, and for anybody's videos."""
