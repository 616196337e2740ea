"""How well the product answers: questions with known answers, a judge, and the runs."""
