"""From files on disk to batches: findings table, split, crops, augmentation."""
