ALTER TABLE "api_tokens" ADD COLUMN "signer" text;--> statement-breakpoint
ALTER TABLE "revisions" ADD COLUMN "signers" jsonb;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "signers" jsonb;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "authors_since" bigint;--> statement-breakpoint
ALTER TABLE "rollouts" ADD COLUMN "authors_ring" bigint;