"""What a list, a street and a threshold will bring: told before anybody authorises them."""
