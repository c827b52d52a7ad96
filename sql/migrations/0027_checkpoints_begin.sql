-- The history of the halls that there are begins here: apart from 0026_checkpoints.sql, which keeps everybody from writing,
-- and after it, so that no change of a layout is made without a checkpoint any more.
select checkpoint_halls(array(select id from hall));
