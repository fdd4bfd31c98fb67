"""The page to try it: paint or take a trimap, see and download alpha, cut-out and a new background."""
