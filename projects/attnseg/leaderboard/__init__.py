"""From the records that runs leave to tables, comparisons, a page and a gate; builds no model."""
