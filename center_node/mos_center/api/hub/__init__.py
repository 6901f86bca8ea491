"""Read routes in the words of the Hugging Face Hub, so that its stock tools work here."""
