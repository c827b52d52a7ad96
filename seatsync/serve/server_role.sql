-- The role of Compose's server, in a new volume; its rights come from seatsync migrate.
\getenv password SERVER_PASSWORD
create role seatsync_server login password :'password';
