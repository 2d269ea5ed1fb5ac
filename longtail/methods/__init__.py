"""The methods, one file each: how mini-batches are drawn, and how one becomes a loss."""
