"""What a student is trained towards; one file per objective."""
