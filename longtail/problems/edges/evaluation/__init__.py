"""The boundary benchmark of BSDS500: edge maps against annotators, as the official code measures them."""
