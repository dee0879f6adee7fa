"""Parts of pages: shared ones here, those of one page in its folder."""
