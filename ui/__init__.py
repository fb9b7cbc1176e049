"""What the pages share: state, caches, forms, pickers, files, errors and the cell map."""
