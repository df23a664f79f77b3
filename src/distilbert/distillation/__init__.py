"""Making the student: corpus, order, masks, batches, objectives, initialisation."""
