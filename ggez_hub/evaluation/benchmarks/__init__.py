"""What models are asked: tasks, benchmarks, their items and questions."""
