"""draftsync: an offline-first sync service for collaborative evaluation forms."""
