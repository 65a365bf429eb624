"""milepost: task-centric foundation-model operations."""
