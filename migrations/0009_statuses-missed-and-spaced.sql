ALTER TABLE "status_outbox" ADD COLUMN "is_under_way" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "claim" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "claimed_until" bigint;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "unsure_since" bigint;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "check_at" bigint;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "posts" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "words_from" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "status_outbox" ADD COLUMN "verdict_from" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "status_outbox_check" ON "status_outbox" USING btree ("check_at");