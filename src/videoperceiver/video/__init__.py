"""Videos: exact frames and times in, key frames, the degraded twin V', files out."""
