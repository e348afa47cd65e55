-- How far each reader is, kept beside the `postgres` sink's table: psql -f positions.sql
--
-- The trigger runs in the sink's own transaction. A repeat is no insert (the sink says ON CONFLICT DO NOTHING), so each receipt
-- is counted once. What the trigger raises, the sink tries again without end: keep it as dull as this.
CREATE TABLE read_positions (
    vendor text, app text, conversation_type text, conversation_id text, reader text,
    message_seq bigint, up_to_time timestamptz, conversation_read_at timestamptz, read_at timestamptz,
    receipts bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (vendor, app, conversation_type, conversation_id, reader)
);

CREATE FUNCTION take_receipts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO read_positions AS p
    SELECT vendor, app, conversation_type, coalesce(conversation_id, ''), reader, max(message_seq), max(up_to_time),
           max(coalesce(read_at, received_at)) FILTER (WHERE scope = 'conversation'), max(read_at), count(*)
    FROM new_receipts
    GROUP BY vendor, app, conversation_type, coalesce(conversation_id, ''), reader
    -- Always in the same order, so that two replicas of readhook do not wait for each other's rows in a circle.
    ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (vendor, app, conversation_type, conversation_id, reader) DO UPDATE SET
        -- greatest() passes over nulls.
        message_seq = greatest(p.message_seq, excluded.message_seq),
        up_to_time = greatest(p.up_to_time, excluded.up_to_time),
        conversation_read_at = greatest(p.conversation_read_at, excluded.conversation_read_at),
        read_at = greatest(p.read_at, excluded.read_at),
        receipts = p.receipts + excluded.receipts;
    RETURN NULL;
END $$;

CREATE TRIGGER take_receipts AFTER INSERT ON read_receipts
    REFERENCING NEW TABLE AS new_receipts FOR EACH STATEMENT EXECUTE FUNCTION take_receipts();
