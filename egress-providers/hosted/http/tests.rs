//! What the client makes of servers good and bad.
