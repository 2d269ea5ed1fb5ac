"""From the map of a backbone to one vector an image."""
