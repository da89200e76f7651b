"""What a completion is worth: surface rules (`base`) and the comparison of V with V' (`comparator`)."""
