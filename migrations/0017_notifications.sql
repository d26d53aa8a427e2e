CREATE TABLE "notification_outbox" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "notification_outbox_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"target" text NOT NULL,
	"key" text NOT NULL,
	"event" jsonb NOT NULL,
	"created_at" bigint NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"is_done" boolean DEFAULT false NOT NULL,
	CONSTRAINT "notification_outbox_event" UNIQUE("target","key")
);
--> statement-breakpoint
CREATE TABLE "notification_targets" (
	"name" text PRIMARY KEY NOT NULL,
	"since" bigint NOT NULL,
	"seen_at" bigint NOT NULL,
	"recent" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"claim" bigint DEFAULT 0 NOT NULL,
	"claimed_until" bigint,
	"paused_until" bigint,
	"failures" integer DEFAULT 0 NOT NULL,
	"failing_since" bigint,
	"last_error" text,
	"last_sent_at" bigint
);
--> statement-breakpoint
CREATE INDEX "notification_outbox_waiting" ON "notification_outbox" USING btree ("target","attempts","id") WHERE not "notification_outbox"."is_done";