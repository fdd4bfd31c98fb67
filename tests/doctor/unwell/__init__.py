"""Stands in for `litematting_deploy.doctor` as the process of a check, and behaves badly."""
