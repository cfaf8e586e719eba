"""What every room uses: files that are never seen half-written, seeds, errors, tables of text."""
